//! The operator of a point-in-time join.
//!
//! Rows of equal keys meet in the same partition. How they find each other there is a
//! [`Strategy`]: by a merge of both sides, which the engine sorts below, or in memory.
//!
//! Never: needs more memory than it is given. Sorts spill; what is held in memory and grows too
//! large is sorted and merged instead.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType, Statistics, internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::{ProjectionMapping, join_equivalence_properties};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
    PhysicalExprRef, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
    FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::projection::{
    EmbeddedProjection, ProjectionExec, try_embed_projection,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, apply_expression_roots,
};

use super::gather::OutputColumns;
use super::lookup::Lookup;
use super::merge::Merge;
use super::physical::{PhysicalComparison, PhysicalCondition};
use super::plan::Plan;
use super::sort::Sorts;
use super::strategy::Strategy;

/// For each row of the left input, the best row of the right one; see the module
/// [`point_in_time`](super).
#[derive(Debug, Clone)]
pub struct PointInTimeJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    condition: PhysicalCondition,
    /// The right columns that decide between rows of equal keys and time.
    tie_columns: Vec<usize>,
    /// What comes out: positions among all left columns, then all right ones.
    output: Vec<usize>,
    strategy: Strategy,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl PointInTimeJoinExec {
    pub(super) fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        condition: PhysicalCondition,
        tie_columns: Vec<usize>,
        output: Vec<usize>,
        strategy: Strategy,
    ) -> Result<Self> {
        let properties = Arc::new(properties(&left, &right, &output, strategy)?);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { left, right, condition, tie_columns, output, strategy, metrics, properties })
    }

    fn with_children(
        &self,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let (condition, ties) = (self.condition.clone(), self.tie_columns.clone());
        Self::try_new(left, right, condition, ties, self.output.clone(), self.strategy)
    }

    /// The same join, gone about in another way.
    pub(super) fn with_strategy(self, strategy: Strategy) -> Result<Self> {
        let Self { left, right, condition, tie_columns, output, .. } = self;
        Self::try_new(left, right, condition, tie_columns, output, strategy)
    }

    pub(super) fn left(&self) -> &Arc<dyn ExecutionPlan> {
        &self.left
    }

    pub(super) fn right(&self) -> &Arc<dyn ExecutionPlan> {
        &self.right
    }

    pub(super) fn condition(&self) -> &PhysicalCondition {
        &self.condition
    }

    fn left_keys(&self) -> Vec<PhysicalExprRef> {
        self.condition.on.iter().map(|(left, _)| Arc::clone(left)).collect()
    }

    fn right_keys(&self) -> Vec<PhysicalExprRef> {
        self.condition.on.iter().map(|(_, right)| Arc::clone(right)).collect()
    }

    fn ordering(
        &self,
        keys: Vec<PhysicalExprRef>,
        pick: fn(&PhysicalComparison) -> &PhysicalExprRef,
    ) -> Result<LexOrdering> {
        let ascending = SortOptions { descending: false, nulls_first: false };
        let keys = keys.into_iter().map(|key| PhysicalSortExpr::new(key, ascending));
        // A join that looks forward passes over time backwards.
        let descending = self.condition.time.operator.forward();
        let options = SortOptions { descending, nulls_first: descending };
        let time = PhysicalSortExpr::new(Arc::clone(pick(&self.condition.time)), options);
        let ordering = LexOrdering::new(keys.chain([time]));
        ordering.ok_or_else(|| internal_datafusion_err!("a point-in-time join orders by time"))
    }

    /// The order of the left input that a merge needs.
    pub(super) fn left_ordering(&self) -> Result<LexOrdering> {
        self.ordering(self.left_keys(), |time| &time.left)
    }

    /// The order of the right input that a merge needs.
    pub(super) fn right_ordering(&self) -> Result<LexOrdering> {
        self.ordering(self.right_keys(), |time| &time.right)
    }

    fn plan(&self, batch_rows_max: usize) -> Result<Plan> {
        let (left, right) = self.condition.sides(&self.left.schema())?;
        Ok(Plan {
            left,
            right,
            strict: self.condition.time.operator.strict(),
            age_max: self.condition.age_max,
            cuts_strict: self.condition.cuts.iter().map(|cut| cut.operator.strict()).collect(),
            cuts_follow_time: self.condition.cuts_follow_time(),
            tie_columns: self.tie_columns.clone(),
            output: OutputColumns {
                schema: self.schema(),
                right_schema: self.right.schema(),
                positions: self.output.clone(),
                left_width: self.left.schema().fields().len(),
            },
            batch_rows_max,
        })
    }
}

/// All left fields, then all right ones, which may be NULL.
fn joined_schema(left: &Schema, right: &Schema) -> Schema {
    let left_fields = left.fields().iter().map(Arc::clone);
    let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
    let fields = left_fields.chain(right.fields().iter().map(nullable));
    let mut metadata = right.metadata().clone();
    metadata.extend(left.metadata().clone());
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata)
}

fn properties(
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    output: &[usize],
    strategy: Strategy,
) -> Result<PlanProperties> {
    let joined = Arc::new(joined_schema(&left.schema(), &right.schema()));
    let equivalences = join_equivalence_properties(
        left.equivalence_properties().clone(),
        // What is equal, constant or in order on the right side is not so beside left rows that
        // found nothing there, or in the order of left rows.
        EquivalenceProperties::new(right.schema()),
        &JoinType::Left,
        Arc::clone(&joined),
        &[strategy == Strategy::Merge, false],
        Some(JoinSide::Left),
        &[],
    )?;
    let mapping = ProjectionMapping::from_indices(output, &joined)?;
    let schema = Arc::new(joined.project(output)?);
    // Left rows stay in their partitions.
    let partitioning = left.output_partitioning().project(&mapping, &equivalences);
    Ok(PlanProperties::new(
        equivalences.project(&mapping, schema),
        partitioning,
        match strategy {
            Strategy::Merge | Strategy::HoldRight => EmissionType::Incremental,
            Strategy::HoldLeft => EmissionType::Final,
        },
        match left.boundedness().is_unbounded() {
            true => left.boundedness(),
            false => right.boundedness(),
        },
    ))
}

impl DisplayAs for PointInTimeJoinExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::TreeRender => write!(f, "{}", self.condition),
            _ => write!(f, "PointInTimeJoinExec: by={}, {}", self.strategy, self.condition),
        }
    }
}

impl EmbeddedProjection for PointInTimeJoinExec {
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        let output = match projection {
            Some(columns) => columns.into_iter().map(|column| self.output[column]).collect(),
            None => self.output.clone(),
        };
        let (left, right) = (Arc::clone(&self.left), Arc::clone(&self.right));
        let (condition, ties) = (self.condition.clone(), self.tie_columns.clone());
        Self::try_new(left, right, condition, ties, output, self.strategy)
    }
}

impl ExecutionPlan for PointInTimeJoinExec {
    fn name(&self) -> &str {
        "PointInTimeJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        if self.condition.on.is_empty() {
            let single = vec![Distribution::SinglePartition; 2];
            return InputDistributionRequirements::new(single);
        }
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(self.left_keys()),
            Distribution::KeyPartitioned(self.right_keys()),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        if self.strategy != Strategy::Merge {
            return vec![None, None];
        }
        let orderings = [self.left_ordering(), self.right_ordering()];
        orderings.into_iter().map(|o| o.ok().map(OrderingRequirements::from)).collect()
    }

    // A lookup that goes on as a merge sorts the left rows.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.strategy == Strategy::Merge, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys = self.condition.on.iter().flat_map(|(left, right)| [left, right]);
        let comparisons = std::iter::once(&self.condition.time).chain(&self.condition.cuts);
        apply_expression_roots(keys.chain(comparisons.flat_map(|c| [&c.left, &c.right])), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("a PointInTimeJoinExec has two inputs");
        };
        Ok(Arc::new(match options.children_properties {
            ChildrenPropertiesMode::Keep => {
                let metrics = ExecutionPlanMetricsSet::new();
                Self { left, right, metrics, ..Self::clone(&self) }
            }
            ChildrenPropertiesMode::Recompute => self.with_children(left, right)?,
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let partitions = self.left.output_partitioning().partition_count();
        if partitions != self.right.output_partitioning().partition_count() {
            return internal_err!("the inputs of a PointInTimeJoinExec are not partitioned alike");
        }
        let plan = self.plan(context.session_config().batch_size())?;
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let right = self.right.execute(partition, Arc::clone(&context))?;
        let consumer = MemoryConsumer::new(format!("PointInTimeJoin[{partition}]"));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = match self.strategy {
            Strategy::Merge => {
                let reservation = consumer.register(context.memory_pool());
                Merge::new(plan, left, right, reservation, metrics).stream()
            }
            Strategy::HoldLeft | Strategy::HoldRight => {
                // It can: what it gives up is sorted on disk.
                let consumer = consumer.with_can_spill(true);
                let reservation = consumer.register(context.memory_pool());
                let merges = MetricBuilder::new(&self.metrics).counter("merges", partition);
                let sorts = Sorts {
                    context,
                    left: (self.left.schema(), self.left_ordering()?),
                    right: (self.right.schema(), self.right_ordering()?),
                };
                let lookup = Lookup { plan, left, right, sorts, reservation, metrics, merges };
                match self.strategy {
                    Strategy::HoldRight => lookup.hold_right(),
                    _ => lookup.hold_left(),
                }
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition), ChildStats::Skip]
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        let Some(left) = input_stats.first() else { return Ok(Arc::new(statistics)) };
        // Each left row comes out once.
        statistics.num_rows = left.num_rows;
        let columns = statistics.column_statistics.iter_mut().zip(&self.output);
        for (column, &position) in columns {
            if let Some(of_left) = left.column_statistics.get(position) {
                *column = of_left.clone();
            }
        }
        Ok(Arc::new(statistics))
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        try_embed_projection(projection, self)
    }

    // A filter on left columns takes away left rows, and with them their joined rows only.
    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        // The engine looks a column up below by its name alone, so it must be the only one.
        let left = self.left.schema();
        let occurs = |name: &str| left.fields().iter().filter(|f| f.name() == name).count();
        let of_left = (0..self.output.len()).filter(|&column| {
            left.fields().get(self.output[column]).is_some_and(|field| occurs(field.name()) == 1)
        });
        let left = ChildFilterDescription::from_child_with_allowed_indices(
            &parent_filters,
            of_left.collect(),
            &self.left,
        )?;
        let right = ChildFilterDescription::all_unsupported(&parent_filters);
        Ok(FilterDescription::new().with_child(left).with_child(right))
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_any(child_pushdown_result))
    }
}
